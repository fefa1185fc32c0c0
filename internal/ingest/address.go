package ingest

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr returns who sent r: the peer, or, if that is a trusted proxy,
// the first address of X-Forwarded-For from the right that is not one. Other
// headers of that kind are anybody's to write and not looked at.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a unix socket
	}
	address := peer.Addr().Unmap().WithZone("")
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(forwarded) {
		if !contains(trusted, address) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			break
		}
		address = next.Unmap().WithZone("")
	}
	return address
}

// forwarder returns the peer of a request that says for whom it was forwarded,
// unless it is trusted; else it is not valid.
func forwarder(r *http.Request, trusted []netip.Prefix) netip.Addr {
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return netip.Addr{}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // a unix socket
	}
	address := peer.Addr().Unmap().WithZone("")
	if contains(trusted, address) {
		return netip.Addr{}
	}
	return address
}

func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// allowed reports whether address lies in one of cidrs; with no cidrs, every
// address does. What can't be parsed allows nobody.
func allowed(cidrs []string, address netip.Addr) bool {
	return len(cidrs) == 0 || slices.ContainsFunc(cidrs, func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			single, err := netip.ParseAddr(cidr)
			return err == nil && single.Unmap() == address
		}
		return prefix.Contains(address)
	})
}
