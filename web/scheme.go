package web

import (
	"slices"
	"strings"

	"keyhook/internal/signature"
	"keyhook/views"
)

// schemeInfos are all schemes as pages tell them.
func schemeInfos() []views.SchemeInfo {
	var infos []views.SchemeInfo
	for _, s := range signature.All() {
		infos = append(infos, infoOf(s))
	}
	return infos
}

// schemeInfo is one of them; what a later release added has its name alone.
func schemeInfo(name string) views.SchemeInfo {
	s, known := signature.Find(name)
	if !known {
		return views.SchemeInfo{Name: name, Title: name}
	}
	return infoOf(s)
}

func infoOf(s *signature.Scheme) views.SchemeInfo {
	return views.SchemeInfo{
		Name: s.Name, Title: s.Title, Group: string(s.Group), Summary: s.Summary, Signed: s.Signed, Example: s.Example,
		Key: readings[s.Reading], Ref: refOf(s.Ref), Retries: s.Retries, Find: s.Find, Steps: s.Steps, HasAPIKey: s.HasAPIKey,
		MakesSecret: s.MakesSecret, CanDemand: s.Signs && (s.Unsigned || s.HasAPIKey), CanURL: s.Name == signature.Generic,
		KeysRef: s.Ref.ByKey, Timestamped: s.Timestamped,
	}
}

// readings say how a secret becomes a key.
var readings = map[signature.Reading]string{
	signature.AsText:     "The HMAC key is the whole secret as text, whsec_ included where it has that.",
	signature.AsBase64:   "The HMAC key is what the base64 behind whsec_ decodes to.",
	signature.AsItIsSent: "The secret is sent as it is, so anybody who sees a request has it. Use https.",
	signature.AsEither:   "For a signature the HMAC key is what the base64 behind whsec_ decodes to; a secret token is sent as it is.",
}

// refOf says what tells a scheme's events apart.
func refOf(ref signature.Ref) string {
	text := "Each request is a new event."
	switch {
	case ref.Pointer != "":
		text = strings.ReplaceAll(strings.TrimPrefix(ref.Pointer, "/"), "/", ".") + " in the body. Without it each request is new."
	case ref.Required:
		text = "The " + ref.Headers[0] + " header, which is signed. Without it the request is refused."
	case len(ref.Headers) > 0:
		text = "The " + strings.Join(ref.Headers, " header, else the ") + " header, which is not signed. Without it each request is new."
	}
	if ref.ByKey {
		text = "The " + ref.Headers[0] + " header, else what the key’s JSON pointer finds in the body. Without either each request is new."
	}
	return text
}

// expects says what a key's scheme looks for, for whoever reads why it refused.
func expects(name string) string {
	s, known := signature.Find(name)
	if !known {
		return ""
	}
	text := s.Title + " sends " + strings.Join(s.Headers, ", ") + "."
	if s.Signed != "" {
		text += " " + s.Signed
	}
	return text + " " + readings[s.Reading]
}

// ofProof are the reasons that depend on what the scheme expects.
var ofProof = []string{"signature_missing", "signature_format", "signature_wrong"}

// explain tells why a delivery was refused and what to change.
func explain(reason, text, scheme string) string {
	if slices.Contains(ofProof, reason) {
		return strings.TrimSpace(text + " " + expects(scheme))
	}
	return text
}
