package main

import (
	"fmt"
	"log"
	"os"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

// nameServer is CoreDNS with the few plugins that a cluster needs; its one argument is the Corefile.
func nameServer() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("the name of a Corefile is needed, and nothing else")
	}
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	if err := dnsserver.Register(); err != nil {
		return err
	}
	log.SetFlags(log.LstdFlags)
	caddy.AppName, caddy.Quiet, dnsserver.Quiet, dnsserver.Port = "CoreDNS", true, true, "53"
	instance, err := caddy.Start(caddy.CaddyfileInput{Contents: content, Filepath: os.Args[1], ServerTypeName: "dns"})
	if err != nil {
		return err
	}
	instance.Wait()
	return nil
}
