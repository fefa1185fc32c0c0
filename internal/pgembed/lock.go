package pgembed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrBusy says that another process owns the folder.
var ErrBusy = errors.New("another Keyhook owns this data folder")

// takeLock makes this process the folder's owner. The lock goes with the
// process, so a kill leaves nothing to clean up.
func takeLock(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := io.ReadAll(lock)
		lock.Close()
		return nil, fmt.Errorf("%w: %s (process %s); to share one database between instances, set DATABASE_URL",
			ErrBusy, dir, strings.TrimSpace(string(owner)))
	}
	if err := lock.Truncate(0); err != nil {
		lock.Close()
		return nil, err
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		lock.Close()
		return nil, err
	}
	return lock, nil
}

// locked reports whether some process owns the folder.
func locked(dir string) bool {
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil
}
