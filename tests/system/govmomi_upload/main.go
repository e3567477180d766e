// Uploads one file with govmomi, as govc does: the API session is read from govmomi's cache or
// stored there, and no request is sent to the vCenter during the transfer. Unlike govc it sends no
// keep-alives, so only another program can keep the sessions alive.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/vmware/govmomi/session/cache"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
)

const pieces = 20

// slowly gives out a file in pieces, with pauses between them.
type slowly struct {
	file  *os.File
	pause time.Duration
	piece int64
}

func (s slowly) Read(into []byte) (int, error) {
	time.Sleep(s.pause)
	if int64(len(into)) > s.piece {
		into = into[:s.piece]
	}
	return s.file.Read(into)
}

func main() {
	item := flag.String("item", "", "id of the library item to fill")
	put := flag.Duration("put", 0, "how long the PUT takes, at least")
	flag.Parse()
	log.SetFlags(0)
	if err := upload(context.Background(), *item, flag.Arg(0), *put); err != nil {
		log.Fatal(err)
	}
}

func upload(ctx context.Context, item, path string, put time.Duration) error {
	client, err := logIn(ctx)
	if err != nil {
		return err
	}
	manager := library.NewManager(client)
	session, err := manager.CreateLibraryItemUpdateSession(ctx, library.Session{LibraryItemID: item})
	if err != nil {
		return err
	}
	fmt.Println("session", session)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return err
	}
	added, err := manager.AddLibraryItemFile(ctx, session, library.UpdateFile{
		Name: filepath.Base(path), SourceType: "PUSH", Size: about.Size(),
	})
	if err != nil {
		return err
	}
	endpoint, err := url.Parse(added.UploadEndpoint.URI)
	if err != nil {
		return err
	}
	// http.Transport reads ahead in chunks of its own: the reader sets the pace.
	var content io.Reader = slowly{file, put / pieces, about.Size()/pieces + 1}
	param := soap.DefaultUpload
	param.ContentLength = about.Size()
	if err := client.Upload(ctx, content, endpoint, &param); err != nil {
		return err
	}
	if err := manager.CompleteLibraryItemUpdateSession(ctx, session); err != nil {
		return err
	}
	fmt.Println("completed", session)
	return nil
}

func logIn(ctx context.Context) (*rest.Client, error) {
	address, err := soap.ParseURL(os.Getenv("GOVC_URL"))
	if err != nil {
		return nil, err
	}
	if name := os.Getenv("GOVC_USERNAME"); name != "" {
		address.User = url.UserPassword(name, os.Getenv("GOVC_PASSWORD"))
	}
	client := new(rest.Client)
	// vcsim's certificate is self-signed; the hash contains the value of the flag.
	trust := func(client *soap.Client) error {
		client.DefaultTransport().TLSClientConfig.InsecureSkipVerify = true
		return nil
	}
	session := cache.Session{URL: address, Insecure: os.Getenv("GOVC_INSECURE") == "true"}
	return client, session.Login(ctx, client, trust)
}
