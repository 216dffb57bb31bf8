// Command fetch gets a URL and prints the answer: it resolves the name, opens a TCP connection and, for
// https, checks the certificate. SSL_CERT_FILE sets other roots to trust, as for any Go program.
//
//	yolk run ./examples/fetch -- https://example.com/
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "fetch: give one URL, as in: yolk run ./examples/fetch -- https://example.com/")
		os.Exit(2)
	}
	if err := fetch(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func fetch(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return err
	}
	fmt.Println(u.Hostname(), "is at", ips)
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %d bytes: %.60q\n", resp.Status, len(body), body)
	return err
}
