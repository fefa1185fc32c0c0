package postgres

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Listen calls on for each notification of a channel until ctx is done. After
// each time in which notifications may have been missed, the start among them, it
// calls missed. database, a URL, must lead past any transaction pooler.
func Listen(ctx context.Context, database, channel string, on func(payload string), missed func()) error {
	full, err := listenerURL(database)
	if err != nil {
		return err
	}
	listener := pq.NewListener(full, 100*time.Millisecond, 10*time.Second, nil) // trouble ends in a reconnection, and then missed is called
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })() // Listen waits for the server, however long
	if err := listener.Listen(channel); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("listen: %w", err)
	}
	missed()
	alive := time.NewTicker(30 * time.Second)
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-listener.Notify:
			if n == nil { // connected anew
				missed()
				continue
			}
			on(n.Extra)
		case <-alive.C:
			go listener.Ping() // a connection that died in silence is found so; an error means a reconnection
		}
	}
}

// listenerURL completes a database URL as settings does: the driver's listener
// takes nothing else.
func listenerURL(given string) (string, error) {
	c, err := settings(given)
	if err != nil {
		return "", err
	}
	mode := string(c.SSLMode)
	if !strings.HasPrefix(given, "postgres://") && !strings.HasPrefix(given, "postgresql://") {
		return given + " sslmode=" + mode, nil // of two the last one counts
	}
	u, err := url.Parse(given)
	if err != nil {
		return "", errURL
	}
	query := u.Query()
	query.Set("sslmode", mode)
	u.RawQuery = query.Encode()
	return u.String(), nil
}
