package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// An Idle is what connections cost that are open and silent.
type Idle struct {
	Connections int   `json:"connections"`
	Before      int64 `json:"before_bytes"`   // resident memory of the server
	Resident    int64 `json:"resident_bytes"` // with the connections
}

// MeasureIdle opens connections to a server of the process pid, each of which has
// sent one request, and keeps them.
func MeasureIdle(ctx context.Context, target Target, pid, connections int) (Idle, error) {
	idle := Idle{Connections: connections}
	var err error
	if idle.Before, err = residentMemory(pid); err != nil {
		return idle, err
	}
	held := make([]net.Conn, connections)
	defer func() {
		for _, c := range held {
			if c != nil {
				c.Close()
			}
		}
	}()
	const dialers = 16
	failures := make([]error, dialers)
	var dialing sync.WaitGroup
	for d := range dialers {
		dialing.Go(func() {
			for i := d; i < connections && failures[d] == nil; i += dialers {
				held[i], failures[d] = open(ctx, target)
			}
		})
	}
	dialing.Wait()
	for _, err := range failures {
		if err != nil {
			return idle, err
		}
	}
	idle.Resident, err = residentMemory(pid)
	return idle, err
}

// open returns a connection that has sent a request and read its answer.
func open(ctx context.Context, target Target) (net.Conn, error) {
	where, err := url.Parse(target.URL)
	if err != nil {
		return nil, err
	}
	request, err := target.post(ctx)
	if err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", where.Host)
	if err != nil {
		return nil, err
	}
	if err := request.Write(c); err != nil {
		c.Close()
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), request)
	if err != nil {
		c.Close()
		return nil, err
	}
	if err := check(response); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Print writes i for people.
func (i Idle) Print(w io.Writer) {
	fmt.Fprintf(w, "%d idle connections: %.1f MB resident, %.1f MB before them\n", i.Connections, float64(i.Resident)/1e6, float64(i.Before)/1e6)
}
