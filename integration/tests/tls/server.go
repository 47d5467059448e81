// A web server and a client over TLS; each says on standard output what it did.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := 200
		if r.URL.Path == "/teapot" {
			status = 418
		}
		_, port, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Printf("served %s|%s %s %s|%d\n", port, r.Method, r.RequestURI, r.Proto, status)
		w.WriteHeader(status)
		if r.URL.Path == "/large" {
			w.Write(make([]byte, 3000000))
		}
	})}
	if os.Getenv("HTTP1") != "" {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	check(server.ServeTLS(listener, "cert.pem", "key.pem"))
}

func ask(urls []string) {
	pem, err := os.ReadFile("cert.pem")
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for _, url := range urls {
		request, err := http.NewRequest("GET", url, nil)
		check(err)
		trace := httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
			fmt.Println("from", info.Conn.LocalAddr().(*net.TCPAddr).Port)
		}}
		answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &trace)))
		check(err)
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	fmt.Println("done")
}

func main() {
	if len(os.Args) > 1 {
		ask(os.Args[1:])
	} else {
		serve()
	}
}
