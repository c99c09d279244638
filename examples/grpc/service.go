package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A method takes bytes and returns bytes.
type method func(context.Context, []byte) ([]byte, error)

// bytesService is what the compiler would make of
//
//	service Bytes { rpc Do(google.protobuf.BytesValue) returns (google.protobuf.BytesValue); }
var bytesService = grpc.ServiceDesc{
	ServiceName: "sluice.Bytes",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Do", Handler: func(
		srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
	) (any, error) {
		var in wrapperspb.BytesValue
		if err := decode(&in); err != nil {
			return nil, err
		}
		out, err := srv.(method)(ctx, in.Value)
		return wrapperspb.Bytes(out), err
	}}},
}

// call calls Do.
func call(ctx context.Context, c *grpc.ClientConn, b []byte, o ...grpc.CallOption) ([]byte, error) {
	var out wrapperspb.BytesValue
	err := c.Invoke(ctx, "/sluice.Bytes/Do", wrapperspb.Bytes(b), &out, o...)
	return out.Value, err
}
