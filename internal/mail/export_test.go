package mail

import "crypto/x509"

// Trust makes s believe certificates that were signed by one of a pool.
func (s *Sender) Trust(pool *x509.CertPool) { s.config.RootCAs = pool }
