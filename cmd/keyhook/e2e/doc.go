// Package e2e tests the whole program: the binary as it is shipped, on its
// private PostgreSQL, driven by a real Chromium. It holds tests only.
package e2e
