// Package config holds the server's settings: one struct, its defaults, the
// TOML file and the environment that fill it, and what the settings mean for
// applications and keys.
//
// A setting is taken from, the later the stronger: the default, the file, HOST
// and PORT (for server.listen), EARSHOT_SECTION_FIELD in the environment, the
// flags of the command line. An unknown key is an error that names the nearest
// known one, and all that is wrong is reported at once (Problems).
//
// The comment of a field is its documentation, also for `earshot config doc`.
package config
