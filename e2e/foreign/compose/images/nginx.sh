#!/bin/sh
# nginx, as far as tests look: it serves /usr/share/nginx/html on port 80.
trap 'exit 0' QUIT TERM
httpd -f -v -p 80 -h /usr/share/nginx/html &
wait
