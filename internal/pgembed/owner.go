package pgembed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// socketLimit keeps a socket's path within the 107 bytes that the system allows.
const socketLimit = 100

// chooseUser returns whom PostgreSQL runs as: us, or, as it refuses root, the
// owner of the data that is there, else the first of some users. nil is us.
func chooseUser(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 {
			return credential(owner.Uid, owner.Gid), nil
		}
	}
	for _, candidate := range []string{"keyhook", "postgres", "nobody"} {
		u, err := user.Lookup(candidate)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return credential(uint32(uid), uint32(gid)), nil
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user keyhook, postgres or nobody: make one, or set DATABASE_URL")
}

func credential(uid, gid uint32) *syscall.Credential {
	return &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{gid}}
}

// prepareDir makes the folder, private to whom PostgreSQL runs as.
func prepareDir(dir string, as *syscall.Credential) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if as != nil {
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return passable(dir, as)
}

// passable says which parent folder keeps the user that PostgreSQL runs as out.
func passable(dir string, as *syscall.Credential) error {
	if as == nil {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		owner, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
		open := mode&0o001 != 0 || owner.Uid == as.Uid && mode&0o100 != 0 || owner.Gid == as.Gid && mode&0o010 != 0
		if !open {
			return fmt.Errorf("PostgreSQL runs as user %d here, who can't pass through %s (mode %04o): choose a data folder outside it with KEYHOOK_DATA_DIR, such as /var/lib/keyhook, or allow passing with chmod o+x",
				as.Uid, parent, mode)
		}
		if parent == "/" {
			return nil
		}
	}
}

// socketPath is where the socket's folder is: inside dir, or, where that is too
// long a path, in the folder for temporary files under a name made from dir.
func socketPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "run")
	if len(path)+len("/.s.PGSQL.5432") <= socketLimit {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join("/tmp", fmt.Sprintf("keyhook-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:6]))), nil
}

// socketDir makes the socket's folder, which nobody else may have made.
func socketDir(dir string, as *syscall.Credential) (string, error) {
	path, err := socketPath(dir)
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	ours := owner == os.Geteuid() || as != nil && owner == int(as.Uid)
	if !info.IsDir() || !ours {
		return "", fmt.Errorf("%s, the folder for the database's socket, belongs to someone else", path)
	}
	if as != nil {
		if err := os.Lchown(path, int(as.Uid), int(as.Gid)); err != nil {
			return "", err
		}
	}
	return path, os.Chmod(path, 0o700)
}
