package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"keyhook/internal/fault"
)

// What people are told of a database that does not answer.
var (
	errAway  = fault.New(fault.Busy, "The database did not answer in time. Nothing was changed. Try again.")
	errMaybe = fault.New(fault.Busy, "The database did not answer in time, and the change may have been made. Look before you try again.")
)

// explain adds to an error of a database that is away what people are told of it.
// An error that has a fault, or another cause, is left as it is.
func explain(err error) error {
	if _, known := fault.Of(err); known || !away(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errAway, err)
}

// away reports whether err says that the database can't be reached, is busy or is
// going away, rather than that a statement was wrong.
func away(err error) bool {
	if onNetwork(err) {
		return true
	}
	for _, cause := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded, net.ErrClosed} {
		if errors.Is(err, cause) {
			return true
		}
	}
	// SQLSTATE: connection exceptions, too many connections, cancelled by a timeout,
	// lock not available, shutting down and starting up.
	code := Code(err)
	return strings.HasPrefix(code, "08") || slices.Contains([]string{"53300", "57014", "55P03", "57P01", "57P02", "57P03"}, code)
}

// onNetwork reports whether the network failed. A bare system error does not
// count, though it has the methods of a net.Error: it may be a file's.
func onNetwork(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	failure, ok := errors.AsType[net.Error](err)
	_, bare := failure.(syscall.Errno)
	return ok && !bare && failure.Timeout()
}
