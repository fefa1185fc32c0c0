// Package oracle holds the schemes against the libraries that their providers
// publish: nothing is accepted that those refuse. It has tests only.
package oracle
