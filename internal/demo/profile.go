package demo

import "fmt"

// A profile describes one key and its traffic.
type profile struct {
	name      string
	note      string
	labels    []string
	weight    float64 // share of all traffic
	refused   float64 // share of its own requests
	repeated  float64 // likewise: sent again
	age       float64 // days since it was made
	silent    float64 // days since its last request; -1: none ever came
	idle      float64 // days since it was used last, before the traffic that there is; 0: no matter
	ghosts    int     // requests of the last days, with credentials that were stopped
	expiresIn int     // days; 0: never
	expired   float64 // days since it expired; 0: it has not
	rotated   float64 // hours since it was rotated with an overlap of a day; 0: never
	limit     int     // requests a minute; 0: none
	signed    bool
	inactive  bool
	ownerless bool // who made and owned it is gone
	office    bool // busy in office hours only
	events    []string
}

// profiles are 60 keys: a few that carry most of the traffic, many small ones,
// and some of each state that a list must show.
func profiles() []profile {
	list := []profile{
		{name: "Stripe billing ledger", labels: []string{"billing"}, weight: 24, refused: .001, repeated: .01, age: 410, signed: true, expiresIn: 120, events: []string{"invoice.paid", "invoice.payment_failed", "charge.refunded"}},
		{name: "Warehouse scanner fleet", labels: []string{"warehouse"}, weight: 40, refused: .002, repeated: .02, age: 300, expiresIn: 128, office: true, events: []string{"parcel.scanned", "pallet.moved"}},
		{name: "Shopify EU storefront", labels: []string{"shop"}, weight: 16, refused: .012, repeated: .01, age: 359, expiresIn: 6, signed: true, events: []string{"orders/create", "orders/paid", "inventory/update"}},
		{name: "GitHub platform-monorepo", labels: []string{"engineering"}, weight: 9, age: 150, expiresIn: 212, office: true, events: []string{"push", "pull_request", "check_run"}},
		{name: "Carrier ETA feed", labels: []string{"warehouse", "logistics"}, weight: 5, refused: .004, age: 363, expiresIn: 2, limit: 600, events: []string{"eta.changed"}},
		{name: "Interview notes importer", labels: []string{"research"}, weight: 1.2, refused: .02, age: 90, expiresIn: 275, office: true, events: []string{"note.added"}},
		{name: "SMS delivery status", weight: 2.4, age: 200, note: "The vendor retries for 4 hours.", events: []string{"sms.delivered", "sms.failed"}},
		{name: "PagerDuty incidents", weight: .1, age: 500, ownerless: true, events: []string{"incident.triggered", "incident.resolved"}},
		{name: "Typeform onboarding survey", weight: 0, silent: -1, age: 5, expiresIn: 87},
		{name: "Load-test rig", weight: 0, silent: -1, age: 2, expiresIn: 38},
		{name: "Zapier sandbox", weight: .3, silent: 21, age: 260, inactive: true, ghosts: 38, events: []string{"zap.fired"}},
		{name: "Legacy CRM import", weight: .2, silent: 26, age: 800, inactive: true, note: "Replaced by the CRM's own webhooks.", events: []string{"contact.updated"}},
	}
	for i, name := range []string{
		"Returns desk", "Invoice scanner", "Gift cards", "Loyalty points", "Address checks", "Fraud scores", "Stock counts",
		"Supplier prices", "Customs papers", "Store openings", "Till receipts", "Newsletter bounces", "Support tickets",
		"Review collector", "Photo uploads", "Courier pick-ups", "Cold chain sensors", "Door sensors", "Fleet telematics",
		"Energy meters", "Payroll export", "Travel bookings", "Expense cards", "Contract signatures", "Job applications",
		"Training records", "Security scanner", "Uptime probes", "Build farm", "Release notes", "Feature flags",
		"Crash reports", "Log alerts", "Backup reports", "Domain renewals", "Certificate watch", "Ad spend", "Price tests",
		"Search feed", "Product feed", "Translations", "Tax rates", "Exchange rates", "Bank statements", "Direct debits",
		"Dunning letters", "Partner portal", "Franchise reports",
	} {
		p := profile{
			name: name, weight: .05 + float64((i*7)%11)*.12, refused: float64(i%5) * .004, repeated: float64(i%3) * .01,
			age: float64(20 + (i*37)%600), office: i%2 == 0, expiresIn: []int{0, 30, 95, 210, 340}[i%5],
			events: []string{fmt.Sprintf("%s.changed", []string{"record", "item", "report"}[i%3])},
		}
		switch {
		case name == "Price tests":
			p.expired, p.silent, p.ghosts = 2.5, 3, 12
		case name == "Fleet telematics":
			p.weight, p.office, p.rotated = 3, false, 15
		case name == "Photo uploads":
			p.weight, p.silent, p.idle, p.age = 0, -1, 47, 300
		case name == "Franchise reports":
			p.weight, p.silent, p.idle, p.age, p.ownerless = 0, -1, 131, 480, true
		case i%12 == 5:
			p.silent = 12 + float64(i%9)
		case i%16 == 9:
			p.weight, p.silent = 0, -1
		case i%20 == 13:
			p.inactive, p.silent = true, 9
		}
		list = append(list, p)
	}
	return list
}
