// Logs in as govc does: by GOVC_URL, GOVC_USERNAME and GOVC_PASSWORD, with the session kept in
// govmomi's cache. Prints what the server takes the session for.
package main

import (
	"context"
	"fmt"
	"log"
	"net/url"
	"os"

	"github.com/vmware/govmomi/session/cache"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
)

func main() {
	address, err := soap.ParseURL(os.Getenv("GOVC_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if name := os.Getenv("GOVC_USERNAME"); name != "" {
		address.User = url.UserPassword(name, os.Getenv("GOVC_PASSWORD"))
	}
	session := cache.Session{URL: address, Insecure: os.Getenv("GOVC_INSECURE") == "true"}
	client := new(rest.Client)
	// vcsim's certificate is self-signed; the hash contains the value of the flag.
	trust := func(client *soap.Client) error {
		client.DefaultTransport().TLSClientConfig.InsecureSkipVerify = true
		return nil
	}
	if err := session.Login(context.Background(), client, trust); err != nil {
		log.Fatal(err)
	}
	known, err := client.Session(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(known.User)
}
