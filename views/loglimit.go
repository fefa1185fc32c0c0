package views

var logLimits = []Option{
	{Value: "full", Label: "Everything, as long as the workspace keeps it"},
	{Value: "headers", Label: "Headers and the body’s hash"},
	{Value: "nothing", Label: "Nothing of what was sent"},
}

// logText says what the log keeps of a key's requests.
func logText(limit string) string {
	switch limit {
	case "headers":
		return "Keeps headers and hash only"
	case "nothing":
		return "Keeps nothing of what was sent"
	default:
		return "Keeps everything"
	}
}

// NotKept says why a body that came is not there.
func NotKept(limit string) string {
	switch limit {
	case "headers":
		return "Not kept: this key’s log keeps headers and hash only."
	case "nothing":
		return "Not kept: this key’s log keeps nothing of what was sent."
	default:
		return "Not kept: it was past its time, or the key’s log kept less when it came."
	}
}
