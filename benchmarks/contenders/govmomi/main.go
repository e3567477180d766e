// govmomi's own client call, one keep-alive after the other: it tells how many it sent, and the CPU
// seconds that took, the runtime's threads included.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/url"
	"syscall"
	"time"

	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
)

const sessions = 20000

func main() {
	address := flag.String("url", "", "where to send keep-alives")
	ca := flag.String("ca-file", "", "the certificate to trust")
	seconds := flag.Float64("seconds", 5, "how long to send")
	flag.Parse()
	if err := send(context.Background(), *address, *ca, *seconds); err != nil {
		log.Fatal(err)
	}
}

func send(ctx context.Context, address, ca string, seconds float64) error {
	where, err := url.Parse(address)
	if err != nil {
		return err
	}
	carrier := soap.NewClient(where, false)
	if ca != "" {
		if err := carrier.SetRootCAs(ca); err != nil {
			return err
		}
	}
	client := rest.NewClient(&vim25.Client{Client: carrier})
	client.SessionID("token")
	manager := library.NewManager(client)
	ids := make([]string, sessions)
	for n := range ids {
		ids[n] = fmt.Sprintf(
			"00000000-0000-4000-8000-%012d:11111111-1111-4111-8111-%012d", n, n)
	}
	if err := manager.KeepAliveLibraryItemUpdateSession(ctx, ids[0]); err != nil {
		return err
	}
	began := cpuSeconds()
	until := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	count := 0
	for time.Now().Before(until) {
		if err := manager.KeepAliveLibraryItemUpdateSession(ctx, ids[count%sessions]); err != nil {
			return err
		}
		count++
	}
	fmt.Printf("{\"keep_alives\": %d, \"cpu_seconds\": %f}\n", count, cpuSeconds()-began)
	return nil
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
