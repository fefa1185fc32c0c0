package api

// Description is what the API says of itself.
func Description() []byte { return description }

// Embeddable tells whether a body stands in answers as JSON.
var Embeddable = embeddable
