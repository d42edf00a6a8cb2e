#!/bin/sh
# curl, as far as tests need it: it gets the address that stands last.
for last; do :; done
exec wget -q -O - "$last"
