package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"keyhook/internal/fault"
	"keyhook/internal/sheet"
)

const (
	// maxUpload is how much is read of a form with a file. It is more than a file
	// may have, so that who sends a larger one gets an answer: a browser whose
	// request is cut off shows an error of its own.
	maxUpload = 4 * sheet.MaxBytes
	// uploadTime is how long a large form may take to arrive.
	uploadTime = time.Minute
	maxParts   = 20
)

// An upload is what a form with a file sent, by the name of the field. It is only
// ever in memory: net/http's own reader would put a large file on the disk.
type upload map[string][]byte

func (u upload) get(name string) string { return strings.TrimSpace(string(u[name])) }

func readUpload(w http.ResponseWriter, r *http.Request) (upload, error) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTime)) // where it can't be set, the server's own holds
	sent := upload{}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "multipart/form-data" {
		if err := r.ParseForm(); err != nil {
			return nil, uploadFault(err)
		}
		for name := range r.PostForm {
			sent[name] = []byte(r.PostFormValue(name))
		}
		return sent, nil
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for range maxParts {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return sent, nil
		}
		if err != nil {
			return nil, uploadFault(err)
		}
		data, err := io.ReadAll(io.LimitReader(part, sheet.MaxBytes+1))
		if err == nil {
			_, err = io.Copy(io.Discard, part)
		}
		if err != nil {
			return nil, uploadFault(err)
		}
		sent[part.FormName()] = data
	}
	return nil, fault.New(fault.Invalid, "The form is damaged. Open it again.")
}

// uploadFault tells too much from what can't be read.
func uploadFault(err error) error {
	if _, ok := asTooLarge(err); ok {
		return fault.New(fault.TooLarge, "The file is larger than 10 MB. Split it.")
	}
	return err
}
