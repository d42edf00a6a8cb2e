// Command oldest is the API server of the oldest minor version of Kubernetes that `orlop deploy` supports.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Args = os.Args[1:] // the program's name comes first, as for node
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
