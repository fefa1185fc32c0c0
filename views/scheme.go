package views

// A SchemeInfo is one way in which senders prove themselves, as pages tell it.
type SchemeInfo struct {
	Name, Title, Group string // Group: service, code, url
	Summary            string
	Signed             string   // what is signed and how it is written; "": nothing
	Example            []string // headers as they look
	Key                string   // how the secret is read, one sentence
	Ref                string   // what tells events apart, one sentence
	Retries            string
	Find               string // where the secret comes from
	Steps              []string
	HasAPIKey          bool
	MakesSecret        bool // else only the provider makes it
	CanDemand          bool // a signature can be required, since there is another way too
	CanURL             bool // an API key can be allowed in the URL
	KeysRef            bool // the key's own pointer counts
	Timestamped        bool
}

// urlChoice is the choice on the form of a key whose API key may stand in the
// URL; it is a key of Keyhook's own scheme.
const urlChoice = "url"

// A schemeGroup is where people look for a scheme.
type schemeGroup struct{ group, title, hint string }

var schemeGroups = []schemeGroup{
	{"service", "A service", "It signs as it signs. Choose which."},
	{"code", "My own code", "You can change what it sends."},
	{"url", "It can only set a URL", "Or a user name and a password. A shared secret travels with each request."},
}

func inGroup(schemes []SchemeInfo, group string) []SchemeInfo {
	var found []SchemeInfo
	for _, s := range schemes {
		if s.Group == group {
			found = append(found, s)
		}
	}
	return found
}

// choiceClass marks a choice with what the fields of the form depend on.
func choiceClass(s SchemeInfo) string {
	class := ""
	for name, on := range map[string]bool{"can-demand": s.CanDemand, "can-url": s.CanURL, "keys-ref": s.KeysRef} {
		if on {
			class += " " + name
		}
	}
	if s.MakesSecret {
		return "makes-secret" + class
	}
	return "gets-secret" + class
}

// The lines that make the key and the MAC of each reading of a secret.
const (
	opensslText = `body='{"event":"order.created","id":"ord_1042"}'

printf '%s' "$body" | openssl dgst -sha256 -hmac "$KEYHOOK_SECRET" -r | cut -d' ' -f1
`
	opensslBase64 = `body='{"event":"order.created","id":"ord_1042"}'
id=msg_1042 timestamp=$(date +%s)
key=$(printf '%s' "${KEYHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')

printf '%s' "$id.$timestamp.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A
`
)

const standardSnippet = `body='{"type":"order.created","data":{"id":"ord_1042"}}'
id=msg_$(date +%s) timestamp=$(date +%s)
key=$(printf '%s' "${KEYHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$(printf '%s' "$id.$timestamp.$body" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)

curl -sS "$KEYHOOK_URL" \
  -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" -H "webhook-signature: v1,$signature" \
  -H 'Content-Type: application/json' \
  --data-binary "$body"
`

const basicSnippet = `curl -sS "$KEYHOOK_URL" \
  -u "$KEYHOOK_KEY_ID:$KEYHOOK_SECRET" \
  -H "Idempotency-Key: test-$(date +%s)" \
  -H 'Content-Type: application/json' \
  --data-binary '{"event":"order.created","id":"ord_1042"}'
`
