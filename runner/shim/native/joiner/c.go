package joiner

import "C" // has joiner.c compiled
