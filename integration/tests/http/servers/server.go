// A web server that says of each request what it has answered: `served METHOD PATH STATUS`.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
)

func answer(w http.ResponseWriter, r *http.Request) int {
	status := http.StatusOK
	switch r.URL.Path {
	case "/small":
		io.WriteString(w, "small\n")
	case "/large":
		w.Write(make([]byte, 1000000))
	case "/pieces":
		for number := 0; number < 10; number++ {
			fmt.Fprintf(w, "piece %d\n", number)
			// Without a length, so in chunks.
			w.(http.Flusher).Flush()
		}
	case "/upload":
		length, _ := io.Copy(io.Discard, r.Body)
		status = http.StatusCreated
		w.WriteHeader(status)
		fmt.Fprintln(w, length)
	case "/broken":
		status = http.StatusInternalServerError
		w.WriteHeader(status)
	default:
		status = http.StatusNotFound
		w.WriteHeader(status)
	}
	return status
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := answer(w, r)
		fmt.Println("served", r.Method, r.URL.Path, status)
	})))
}
