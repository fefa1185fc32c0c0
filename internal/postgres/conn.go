package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"sync/atomic"

	"github.com/lib/pq"
)

// A connector makes the driver's connections begin transactions with what the
// purpose wants of them, in the message that begins them: a round trip less.
type connector struct {
	driver.Connector
	config   pq.Config
	prologue atomic.Pointer[prologue] // nil until it is known
}

// Connect returns a new connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	made, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := made.(driverConn)
	if !ok {
		made.Close()
		return nil, fmt.Errorf("the driver's connection lacks methods: %T", made)
	}
	return &conn{inner, c}, nil
}

// driverConn is what a connection of lib/pq can do. It is its own transaction.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Tx
	driver.Validator
}

type conn struct {
	driverConn
	from *connector
}

// BeginTx begins a transaction. Only its being read-only is an option.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	begin := "BEGIN READ WRITE"
	if options.ReadOnly {
		begin = "BEGIN READ ONLY"
	}
	if p := c.from.prologue.Load(); p != nil {
		begin += "; " + p.in(ctx)
	}
	if _, err := c.ExecContext(ctx, begin, nil); err != nil {
		_ = c.driverConn.Rollback() // it may have begun; if this fails too, the connection is not used again
		return nil, err
	}
	return c.driverConn, nil
}
