// Package reference compares the loader with compose-go, the reference
// implementation of the Compose Specification: over the corpus and the
// loader's own scripts both must give the same canonical project. It is a
// module of its own so that compose-go never becomes a dependency of the
// product.
package reference
