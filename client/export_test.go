package client

// Forget makes Configure work again.
func Forget() { standard.Store(nil) }
