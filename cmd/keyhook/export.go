package main

type exportCmd struct {
	Audit      exportAuditCmd      `cmd:"" help:"Write an audit trail, which keyhook audit verify checks without the server."`
	Deliveries exportDeliveriesCmd `cmd:"" help:"Write a workspace's deliveries, the oldest first. The last line tells that they are all there; so does the exit code."`
}
