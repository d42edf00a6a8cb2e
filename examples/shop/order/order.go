// Package order is what the shop's programs agree on: what can be bought, and what an order is.
package order

import (
	"errors"
	"fmt"
	"time"
)

// A Status is how far an order has come.
type Status string

// An order waits in the queue, is packed by the worker, and is shipped.
const (
	Waiting Status = "waiting"
	Packing Status = "packing"
	Shipped Status = "shipped"
)

// MaxQuantity is the most of one item that an order may ask for.
const MaxQuantity = 99

// An Item is something that the shop sells.
type Item struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Story string `json:"story"`
	Cents int    `json:"cents"`
}

// An Order asks for some of one item.
type Order struct {
	ID       string    `json:"id"`
	Item     string    `json:"item"`
	Quantity int       `json:"quantity"`
	Status   Status    `json:"status"`
	Placed   time.Time `json:"placed"`
}

// Check says what is wrong with an order that a customer has sent.
func (o Order) Check() error {
	if o.Item == "" {
		return errors.New("an order needs an item")
	}
	if o.Quantity < 1 || o.Quantity > MaxQuantity {
		return fmt.Errorf("quantity must be 1 to %d, not %d", MaxQuantity, o.Quantity)
	}
	return nil
}
