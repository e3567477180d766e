// govc, with those of its commands that have to do with content libraries.
package main

import (
	"os"

	"github.com/vmware/govmomi/govc/cli"
	_ "github.com/vmware/govmomi/govc/library"
	_ "github.com/vmware/govmomi/govc/library/session"
)

func main() {
	os.Exit(cli.Run(os.Args[1:]))
}
