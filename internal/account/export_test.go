package account

// KeepBusy takes every place among those who hash until leave is called.
func KeepBusy(s *Store) (leave func()) {
	for range cap(s.hashes) {
		s.hashes <- struct{}{}
	}
	return func() {
		for range cap(s.hashes) {
			<-s.hashes
		}
	}
}
