// Go's own resolver: asks the server of the first argument, and says what it was told.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
)

func main() {
	server := os.Args[1]
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	resolver := &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, server)
		},
	}
	ctx := context.Background()
	for round := 0; round < rounds; round++ {
		// With the last dot, so that no search list applies.
		hosts, err := resolver.LookupHost(ctx, "ok.named.test.")
		fmt.Println("host", len(hosts), err)
		_, err = resolver.LookupHost(ctx, "nx.named.test.")
		if failure, is := err.(*net.DNSError); is {
			fmt.Println("nx", failure.IsNotFound)
		}
		texts, err := resolver.LookupTXT(ctx, "big.named.test.")
		fmt.Println("texts", len(texts), err)
		exchanges, err := resolver.LookupMX(ctx, "named.test.")
		fmt.Println("mx", len(exchanges), err)
	}
}
