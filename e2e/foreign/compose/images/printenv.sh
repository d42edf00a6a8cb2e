#!/bin/sh
# printenv, which Debian's busybox does not have.
if [ $# -eq 0 ]; then
	exec env
fi
for name; do
	env | sed -n "s/^$name=//p"
done
