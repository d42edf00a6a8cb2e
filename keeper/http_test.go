package keeper

import (
	"strings"
	"testing"
)

func TestARequestIsUnderWayUntilItsAnswerIsWhole(t *testing.T) {
	const get, head = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		asked, answered            string
		rest, last, bound, foreign bool
	}{
		"nothing":                {rest: true},
		"asked":                  {asked: get},
		"half a head":            {asked: get[:9]},
		"a length":               {asked: get, answered: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", rest: true},
		"a part of it":           {asked: get, answered: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"},
		"no body":                {asked: get, answered: "HTTP/1.1 204 No Content\r\n\r\n", rest: true},
		"not modified":           {asked: get, answered: "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", rest: true},
		"to HEAD":                {asked: head, answered: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", rest: true},
		"bare line ends":         {asked: "GET / HTTP/1.1\n\n", answered: "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", rest: true},
		"chunks":                 {asked: get, answered: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n", rest: true},
		"chunks and a trailer":   {asked: get, answered: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0\r\n\r\n89012\r\n0\r\nSum: 1\r\n\r\n", rest: true},
		"an end within a chunk":  {asked: get, answered: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n12345\r\n0\r\n\r\n"},
		"continue":               {asked: "PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", answered: "HTTP/1.1 100 Continue\r\n\r\n"},
		"answered before sent":   {asked: "PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", answered: "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"},
		"one of two":             {asked: get + get, answered: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"both of two":            {asked: get + get, answered: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 x\r\n\r\n", rest: true},
		"a chunked request":      {asked: "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", answered: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", rest: true},
		"to the end":             {asked: get, answered: "HTTP/1.1 200 OK\r\n\r\nhi", last: true},
		"connection: close":      {asked: get, answered: "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n", rest: true, last: true},
		"HTTP/1.0":               {asked: "GET / HTTP/1.0\r\n\r\n", answered: "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", rest: true, last: true},
		"HTTP/1.0 that goes on":  {asked: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", answered: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", rest: true},
		"a WebSocket":            {asked: get, answered: "HTTP/1.1 101 Switching Protocols\r\n\r\n", foreign: true},
		"a stream of events":     {asked: get, answered: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", foreign: true},
		"a greeting":             {answered: "220 mail\r\n", foreign: true},
		"Redis":                  {asked: "*1\r\n$4\r\nPING\r\n", foreign: true},
		"TLS":                    {asked: "\x16\x03\x01", foreign: true},
		"HTTP/2":                 {asked: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", foreign: true},
		"lines of a protocol":    {asked: "ERROR disk full\n", foreign: true},
		"a word of a protocol":   {asked: "PING\r\n", foreign: true},
		"a line of two lines":    {asked: "\r\nGET /\r\n", foreign: true},
		"a protocol of bytes":    {asked: "AMQP\x00\x00\x09\x01", foreign: true},
		"a line without an end":  {asked: "A" + strings.Repeat("a", maxFirstLine), foreign: true},
		"a long address":         {asked: "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n\r\n"},
		"a part of a first line": {asked: "GET /\xc3\xa4"},
		"an answer's part":       {asked: get, answered: "HTT"},
		"options in two fields":  {asked: get, answered: "HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", rest: true, last: true},
		"codings in two fields":  {asked: get, answered: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", rest: true},
		"NTLM":                   {asked: "GET / HTTP/1.1\r\nAuthorization: NTLM TlRM==\r\n\r\n", answered: "HTTP/1.1 204 x\r\n\r\n", rest: true, bound: true},
		"NTLM is offered":        {asked: get, answered: "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic realm=\"a\"\r\nwww-authenticate: ntlm\r\nContent-Length: 0\r\n\r\n", rest: true, bound: true},
		"a proxy negotiates":     {asked: get, answered: "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=a, Negotiate\r\nContent-Length: 0\r\n\r\n", rest: true, bound: true},
		"a password":             {asked: "GET / HTTP/1.1\r\nAuthorization: Basic TlRM\r\n\r\n", answered: "HTTP/1.1 204 x\r\n\r\n", rest: true},
		"an answer of something": {asked: "PING 1 HTTP/1.1\r\n\r\n", answered: "+PONG\r\n\r\n", foreign: true},
	} {
		for _, size := range []int{1, 3, 1 << 20} { // however it is cut into pieces
			var x exchange
			isForeign := inPieces(c.asked, size, x.ask) != nil || inPieces(c.answered, size, x.answer) != nil
			if isForeign != c.foreign || !isForeign && (x.isAtRest() != c.rest || x.last != c.last || x.isBound != c.bound) {
				t.Errorf("%s, in pieces of %d: at rest %t, last %t, bound %t, foreign %t", name, size, x.isAtRest(), x.last, x.isBound, isForeign)
			}
		}
	}
}

func inPieces(text string, size int, take func([]byte) error) error {
	for text != "" {
		n := min(size, len(text))
		if err := take([]byte(text[:n])); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func FuzzExchange(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"))
	f.Add([]byte("\r\nPUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), []byte("HTTP/1.1 100 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, asked, answered []byte) {
		var whole, single exchange
		if whole.ask(asked) != nil || whole.answer(answered) != nil {
			return
		}
		if inPieces(string(asked), 1, single.ask) != nil || inPieces(string(answered), 1, single.answer) != nil || single.isAtRest() != whole.isAtRest() {
			t.Errorf("%q, %q: another result in single bytes", asked, answered)
		}
	})
}
