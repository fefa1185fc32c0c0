// Package static holds the files that the console's pages load: style, script,
// fonts. They are built into the program and served from it.
//
// Every address carries a hash of all files, so that a browser may keep them for
// ever. The package owns no table.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed app.css app.js tail.js htmx.min.js hx-csp.min.js favicon.svg fonts/*.woff2
var files embed.FS

// Prefix is the path under which [Handler] must be mounted.
const Prefix = "/static/"

var version = hashOf(files)

// types are the media types of the files, by extension. The system's own table
// is not asked: it differs from machine to machine.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

// URL returns the path of a file, such as /static/1f0c…/app.css.
func URL(name string) string { return Prefix + version + "/" + name }

// Handler serves the files.
func Handler() http.Handler { return http.HandlerFunc(serve) }

// serve answers an older page's address too, with the file as it is now: during
// an update, pages and files may come from different versions.
func serve(w http.ResponseWriter, r *http.Request) {
	hash, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	content, err := files.ReadFile(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	cache := "no-cache"
	if hash == version {
		cache = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		_, _ = w.Write(content) // the client went away: nothing to tell it
	}
}

// hashOf covers names and contents. Reading what is built in cannot fail.
func hashOf(tree fs.FS) string {
	hash := sha256.New()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, name)
		sum := sha256.Sum256(content)
		hash.Write([]byte(name))
		hash.Write(sum[:])
		return err
	})
	if err != nil {
		panic("static: " + err.Error())
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}
