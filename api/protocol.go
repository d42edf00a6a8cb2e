package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Protocol is the number of the protocol that this side speaks. Fields and calls
// that the other side may ignore or lack leave it as it is; it grows when plans,
// events or answers would be misread.
//
//	1  plans and events were JSON; nobody said a number
//	2  plans, events and containers are messages of their own
//	3  an image that is loaded is told by several messages
//	4  a request may be a dry run
const Protocol = 4

const protocolKey = "orlop-protocol"

// CheckEngine is the command's look at an engine's status: an error where the
// two would misread each other.
func CheckEngine(s *StatusReply, version string) error {
	theirs := max(s.Protocol, 1)
	if theirs == Protocol {
		return nil
	}
	return fmt.Errorf("the engine is %s and speaks protocol %d, this command is %s and speaks %d: %s",
		s.Version, theirs, version, Protocol, wayOut(theirs < Protocol))
}

// CheckCaller is the engine's look at who calls a method: an error where the two
// would misread each other.
func CheckCaller(ctx context.Context, method, version string) error {
	if !strings.HasPrefix(method, "/"+Engine_ServiceDesc.ServiceName+"/") || isAnybodys(method) {
		return nil
	}
	theirs := 1
	if said := metadata.ValueFromIncomingContext(ctx, protocolKey); len(said) > 0 {
		n, err := strconv.Atoi(said[0])
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "the caller says that it speaks protocol %q, which is not a number", said[0])
		}
		theirs = n
	}
	if theirs == Protocol {
		return nil
	}
	return status.Errorf(codes.Aborted, "this command speaks protocol %d, the engine is %s and speaks %d: %s",
		theirs, version, Protocol, wayOut(theirs > Protocol))
}

// isAnybodys says that a method is the same in all protocols: an engine's status
// and its end, and to hold a project, so that who holds one does not lose it when the
// engine is upgraded.
func isAnybodys(method string) bool {
	return method == Engine_Status_FullMethodName || method == Engine_Shutdown_FullMethodName || method == Engine_Hold_FullMethodName
}

// wayOut is what to do where one side is older.
func wayOut(engineIsOlder bool) string {
	if engineIsOlder {
		return `run "orlop engine restart" (containers keep running)`
	}
	return "use the command that was installed with the engine"
}
