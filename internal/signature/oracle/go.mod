// The providers' own libraries, against which the schemes are tested. They are a
// module apart, so that they are no part of Keyhook.
module keyhook/internal/signature/oracle

go 1.26.0

require (
	github.com/google/go-github/v74 v74.0.0
	github.com/slack-go/slack v0.35.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stripe/stripe-go/v82 v82.5.1
	keyhook v0.0.0
)

require (
	github.com/google/go-querystring v1.1.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
)

replace keyhook => ../../..
