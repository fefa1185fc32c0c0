package postgres

import (
	"bufio"
	"context"
	"net"
	"time"
)

// A dialer makes connections on which each read and write has a time limit.
// lib/pq does not honour a context while the network swallows its packets, and
// would hold a connection of the pool until TCP gives up.
type dialer struct {
	deadline time.Duration // 0: none
	buffer   int           // bytes that are read ahead; 0: none
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	base := net.Dialer{Timeout: d.deadline, KeepAlive: 30 * time.Second}
	conn, err := base.DialContext(ctx, network, address)
	if err != nil || d.deadline == 0 {
		return conn, err
	}
	limited := &deadlineConn{Conn: conn, deadline: d.deadline}
	if d.buffer == 0 {
		return limited, nil
	}
	return &bufferedConn{limited, bufio.NewReaderSize(limited, d.buffer)}, nil
}

// A bufferedConn reads much at once: the driver reads 4 KiB, which is three rows.
type bufferedConn struct {
	net.Conn
	ahead *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.ahead.Read(p) }

// A deadlineConn gives each operation its own deadline.
type deadlineConn struct {
	net.Conn
	deadline time.Duration
}

func (c *deadlineConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.deadline)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *deadlineConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.deadline)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
