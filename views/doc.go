// Package views is the console's HTML. A page is a model struct and a component
// that draws it; models hold plain values, never what a store returned.
//
// It owns no table. Nothing here decides anything: what a reader may see or do
// is settled before a model is filled.
package views
