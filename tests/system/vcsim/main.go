// Serves govmomi's vCenter simulator to the system tests until its standard input closes,
// so that it cannot outlive them.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator" // adds the endpoints under /rest
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve HTTPS on")
	idle := flag.Duration("idle-timeout", 30*time.Minute, "how long an idle API session lives")
	flag.Parse()

	simulator.SessionIdleTimeout = *idle
	model := simulator.VPX()
	defer model.Remove()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	model.Service.RegisterEndpoints = true
	model.Service.TLS = new(tls.Config)
	model.Service.Listen = &url.URL{Host: *listen}
	server := model.Service.NewServer()
	defer server.Close()

	json.NewEncoder(os.Stdout).Encode(map[string]string{
		"url":         "https://" + server.URL.Host,
		"fingerprint": fmt.Sprintf("%x", sha256.Sum256(server.Certificate().Raw)),
		"datastore":   simulator.Map.Any("Datastore").Reference().Value,
	})
	io.Copy(io.Discard, os.Stdin)
}
