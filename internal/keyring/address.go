package keyring

import (
	"net/netip"
	"slices"
	"strings"
)

func (d *Draft) checkCIDRs(c *check) {
	list := []string{}
	for i, line := range d.AllowedCIDRs {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		prefix, ok := parsePrefix(line)
		if !ok {
			c.fail("allowed_cidrs", "Line %d: “%s” is not an address or a network such as 192.0.2.0/24.", i+1, shorten(line))
			return
		}
		if !slices.Contains(list, prefix.String()) {
			list = append(list, prefix.String())
		}
		if len(list) > MaxCIDRs {
			c.fail("allowed_cidrs", "At most %d networks.", MaxCIDRs)
			return
		}
	}
	d.AllowedCIDRs = list
}

// parsePrefix reads an address or a network, and drops the bits of a host. Senders'
// addresses are looked at as IPv4 wherever they are, so a network of IPv4 in IPv6
// is written as one of IPv4; one that holds more than those would match nothing.
func parsePrefix(text string) (netip.Prefix, bool) {
	const mapped = 96 // bits before the IPv4 address
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < mapped {
			return netip.Prefix{}, false
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix.Masked(), true
}
