package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"keyhook/internal/signature"
)

type sendCmd struct {
	jsonFlag
	URL         string            `required:"" help:"Where to, such as https://hooks.example.com/hooks/KEY-ID."`
	APIKeyStdin bool              `name:"api-key-stdin" xor:"with" required:"" help:"Read an API key from standard input and send it along."`
	SecretStdin bool              `name:"secret-stdin" xor:"with" required:"" help:"Read a signing secret from standard input and sign with it."`
	Scheme      string            `default:"generic" enum:"${schemes}" help:"How to sign: ${enum}."`
	Ref         string            `help:"The event's id, sent where the scheme has it in a header. Default: a new one where the scheme demands it."`
	Data        string            `default:"{\"verbatim\":\"Hello from keyhook send\"}" placeholder:"TEXT|@FILE" help:"The body, or @ and a file that holds it."`
	Header      map[string]string `help:"More headers, such as X-Workspace-ID=…" placeholder:"NAME=VALUE"`
	Timeout     time.Duration     `default:"10s" help:"How long to wait for the answer."`
}

const maxData = 25 << 20

// Run sends one request. Its error says that the answer was a refusal.
func (c *sendCmd) Run(ctx context.Context, a app) error {
	target, err := url.Parse(c.URL)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "" {
		return misuse("--url is not like https://hooks.example.com/hooks/KEY-ID")
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	credential, err := readSecret(a.in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return misuse("--url can't be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "keyhook-send/"+version)
	if err := c.prove(request, credential, body); err != nil {
		return err
	}
	for name, value := range c.Header {
		request.Header.Set(name, value)
	}
	return c.exchange(a, request)
}

// prove adds the headers of the scheme, as its sender makes them.
func (c *sendCmd) prove(request *http.Request, credential string, body []byte) error {
	scheme, _ := signature.Find(c.Scheme) // which the flag has checked
	if c.Ref != "" {
		if len(scheme.Ref.Headers) == 0 {
			return misuse("--ref: with %s the event's id stands in the body, at %s", scheme.Title, scheme.Ref.Pointer)
		}
		request.Header.Set(scheme.Ref.Headers[0], c.Ref)
	}
	if c.APIKeyStdin {
		request.Header.Set("X-API-Key", credential)
		return nil
	}
	event := signature.Event{Body: body, ID: cmp.Or(c.Ref, "msg_"+rand.Text()), Time: time.Now(), User: path.Base(request.URL.Path)}
	proof, err := signature.Sign(c.Scheme, credential, event)
	if err != nil {
		return misuse("%s can't be signed: %w", scheme.Title, err)
	}
	for name, values := range proof {
		request.Header[name] = values
	}
	return nil
}

func (c *sendCmd) body() ([]byte, error) {
	path, ok := strings.CutPrefix(c.Data, "@")
	if !ok {
		return []byte(c.Data), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, &usageError{err}
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, maxData+1))
	if err == nil && len(body) > maxData {
		return nil, misuse("%s is larger than 25 MiB", path)
	}
	return body, err
}

func (c *sendCmd) exchange(a app, request *http.Request) error {
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	began := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	took := time.Since(began).Round(time.Millisecond)
	result := map[string]any{
		"status": response.StatusCode, "request_id": response.Header.Get("X-Request-ID"), "took_ms": took.Milliseconds(), "body": string(answer),
	}
	err = c.print(a.out, result, func(w io.Writer) { fmt.Fprintf(w, "%s in %s\n%s\n", response.Status, took, answer) })
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the answer is %s", response.Status)
	}
	return err
}
