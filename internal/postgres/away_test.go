package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lib/pq"
)

func TestAway(t *testing.T) {
	t.Parallel()
	_, missing := os.ReadFile(filepath.Join(t.TempDir(), "missing"))
	_, refused := net.Dial("unix", filepath.Join(t.TempDir(), "missing"))
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{refused, true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{os.ErrDeadlineExceeded, true},
		{context.DeadlineExceeded, true},
		{&pq.Error{Code: "57P01"}, true},
		{missing, false},
		{&fs.PathError{Op: "open", Path: "master.key", Err: syscall.EACCES}, false},
		{&fs.PathError{Op: "read", Path: "master.key", Err: syscall.ETIMEDOUT}, false},
		{syscall.ENOSPC, false},
		{&pq.Error{Code: "23505"}, false},
		{errors.New("no"), false},
	} {
		if got := away(fmt.Errorf("wrapped: %w", tt.err)); got != tt.want {
			t.Errorf("away(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}
