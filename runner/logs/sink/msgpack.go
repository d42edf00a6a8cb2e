package sink

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
	"time"
)

// What the forward protocol of fluentd has of MessagePack: arrays, mappings of texts,
// texts, integers and its own times.

func packArray(out []byte, n int) []byte { return append(out, 0x90|byte(n)) } // up to 15

func packText(out []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		out = append(out, 0xa0|byte(n))
	case n <= math.MaxUint8:
		out = append(out, 0xd9, byte(n))
	case n <= math.MaxUint16:
		out = binary.BigEndian.AppendUint16(append(out, 0xda), uint16(n))
	default:
		out = binary.BigEndian.AppendUint32(append(out, 0xdb), uint32(n))
	}
	return append(out, s...)
}

// packTexts packs a mapping, in the order of its keys.
func packTexts(out []byte, m map[string]string) []byte {
	if n := len(m); n < 16 {
		out = append(out, 0x80|byte(n))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, 0xde), uint16(n))
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = packText(packText(out, k), m[k])
	}
	return out
}

// packSeconds packs a time to the second, as an integer.
func packSeconds(out []byte, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(at.Unix()))
}

// packEventTime packs a time to the nanosecond (forward protocol, EventTime).
func packEventTime(out []byte, at time.Time) []byte {
	out = append(out, 0xd7, 0x00)
	out = binary.BigEndian.AppendUint32(out, uint32(at.Unix()))
	return binary.BigEndian.AppendUint32(out, uint32(at.Nanosecond()))
}
