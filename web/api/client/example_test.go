package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"keyhook/web/api/client"
)

func ExampleClient_Follow() {
	server := httptest.NewServer(http.HandlerFunc(twoPages)) // a Keyhook, for this example
	defer server.Close()

	keyhook := client.New(server.URL, "kht_…")
	errEnough := errors.New("enough")
	cursor := "" // where we left off; "" reads from the oldest on
	err := keyhook.Follow(context.Background(), cursor, func(ctx context.Context, page client.Page) error {
		for _, signal := range page.Signals {
			fmt.Println(signal.EventType, signal.SourceRef, string(signal.Body))
		}
		cursor = page.Cursor // stored in the transaction that deals with the page
		if cursor == "c2" {
			return errEnough
		}
		return nil
	})
	if oldest, expired := client.Expired(err); expired {
		fmt.Println("some are gone; the rest is behind", oldest)
	}
	fmt.Println(err, cursor)
	// Output:
	// order.created ord_1 {"id":1}
	// order.paid ord_1 {"id":2}
	// enough c2
}

func twoPages(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Query().Get("after") {
	case "":
		fmt.Fprint(w, `{"signals":[{"eventType":"order.created","sourceRef":"ord_1","body":{"id":1},"cursor":"c1"}],"cursor":"c1"}`)
	case "c1":
		fmt.Fprint(w, `{"signals":[{"eventType":"order.paid","sourceRef":"ord_1","bodyEncoding":"base64","body":"eyJpZCI6Mn0=","cursor":"c2"}],"cursor":"c2"}`)
	default:
		<-r.Context().Done() // nothing new
	}
}
