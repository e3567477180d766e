// Serves govmomi's vCenter simulator to the system tests until its standard input closes,
// so that it cannot outlive them.
package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	_ "github.com/vmware/govmomi/vapi/simulator" // adds the endpoints under /rest
)

const (
	sessions = "/rest/com/vmware/cis/session"
	content  = "/rest/com/vmware/cis/data/"
	token    = "vmware-api-session-id"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve HTTPS on")
	idle := flag.Duration("idle-timeout", 30*time.Minute, "how long an idle API session lives")
	takes := flag.Duration("transfer", 0, "how long the content of a file is on its way, at least")
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
	server.Config.Handler = transferService{server.Config.Handler, *takes}

	json.NewEncoder(os.Stdout).Encode(map[string]string{
		"url":         "https://" + server.URL.Host,
		"fingerprint": fmt.Sprintf("%x", sha256.Sum256(server.Certificate().Raw)),
		"datastore":   simulator.Map.Any("Datastore").Reference().Value,
	})
	io.Copy(io.Discard, os.Stdin)
}

// transferService receives the content of files as a real vCenter does: the caller's token is checked
// when a PUT begins, and other requests are served meanwhile. vcsim itself holds its only lock during
// a PUT, so no keep-alive could be answered and no session could expire.
type transferService struct {
	vcsim http.Handler
	takes time.Duration
}

func (t transferService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut || !strings.HasPrefix(r.URL.Path, content) {
		t.vcsim.ServeHTTP(w, r)
		return
	}
	if asked := t.ask(sessions+"?~action=get", r.Header); asked.Code != http.StatusOK {
		w.WriteHeader(asked.Code)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(t.takes)
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set(token, t.logIn())
	t.vcsim.ServeHTTP(w, r)
}

// logIn returns a token of the transfer service's own; it idles out like any other.
func (t transferService) logIn() string {
	basic := httptest.NewRequest(http.MethodPost, sessions, nil)
	basic.SetBasicAuth("transfer service", "vcsim takes any")
	var answer struct{ Value string }
	json.NewDecoder(t.ask(sessions, basic.Header).Body).Decode(&answer)
	return answer.Value
}

func (t transferService) ask(path string, headers http.Header) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, path, nil)
	request.Header = headers.Clone()
	answer := httptest.NewRecorder()
	t.vcsim.ServeHTTP(answer, request)
	return answer
}
