package views

// The snippets read their address and credentials from the environment, so that
// they can be pasted and kept. Each sends one request to /hooks/{key id}.

const curlSnippet = `curl -sS "$KEYHOOK_URL" \
  -H "X-API-Key: $KEYHOOK_API_KEY" \
  -H "Idempotency-Key: test-$(date +%s)" \
  -H 'Content-Type: application/json' \
  --data-binary '{"event":"order.created","id":"ord_1042"}'
`

const signedCurlSnippet = `body='{"event":"order.created","id":"ord_1042"}'
signature=$(printf '%s' "$body" | openssl dgst -sha256 -hmac "$KEYHOOK_SECRET" -r | cut -d' ' -f1)

curl -sS "$KEYHOOK_URL" \
  -H "X-Webhook-Signature: sha256=$signature" \
  -H "Idempotency-Key: test-$(date +%s)" \
  -H 'Content-Type: application/json' \
  --data-binary "$body"
`

const goSnippet = `// send.go; run it with: set -a; . ./.env; set +a; go run send.go
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	body := []byte(` + "`" + `{"event":"order.created","id":"ord_1042"}` + "`" + `)
	mac := hmac.New(sha256.New, []byte(os.Getenv("KEYHOOK_SECRET")))
	mac.Write(body)

	req, err := http.NewRequest(http.MethodPost, os.Getenv("KEYHOOK_URL"), bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Webhook-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("Idempotency-Key", fmt.Sprint("test-", time.Now().UnixNano()))

	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		log.Fatal(err) // send the same event again, with the same Idempotency-Key
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(res.Body)
	fmt.Println(res.Status, string(answer))
	if res.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}
`

const nodeSnippet = `// send.mjs; run it with: node --env-file=.env send.mjs
import { createHmac, randomUUID } from "node:crypto";

const body = JSON.stringify({ event: "order.created", id: "ord_1042" });
const signature = createHmac("sha256", process.env.KEYHOOK_SECRET).update(body).digest("hex");

const res = await fetch(process.env.KEYHOOK_URL, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
    "X-Webhook-Signature": "sha256=" + signature,
    "Idempotency-Key": randomUUID(),
  },
  body,
});
console.log(res.status, await res.text());
if (!res.ok) process.exit(1);
`

// A snippet is a program in one language, and the id that its parts share.
type snippet struct{ id, label, name, note, text string }

var (
	curlKey    = snippet{"curl", "curl", "curl line", "Sends the API key.", curlSnippet}
	curlSigned = snippet{"sign", "curl, signed", "signed curl lines", "Needs openssl. Sends a signature, and no API key.", signedCurlSnippet}
	goSigned   = snippet{"go", "Go", "Go program", "Signs the body with the secret.", goSnippet}
	nodeSigned = snippet{"node", "Node", "Node program", "Signs the body with the secret.", nodeSnippet}
)

// snippetsFor leaves out what a key's rules would refuse. A service's requests
// are nobody's to write.
func snippetsFor(scheme SchemeInfo, requireSignature bool) []snippet {
	switch {
	case scheme.Name == "standard":
		return []snippet{{"curl", "curl", "signed curl lines", "Needs openssl. A Standard Webhooks library does the same.", standardSnippet}}
	case scheme.Name == "basic":
		return []snippet{{"curl", "curl", "curl line", "Sends the key’s id and the secret.", basicSnippet}}
	case !scheme.CanURL:
		return nil
	case requireSignature:
		return []snippet{curlSigned, goSigned, nodeSigned}
	}
	return []snippet{curlKey, curlSigned, goSigned, nodeSigned}
}
