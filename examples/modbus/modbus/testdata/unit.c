// unit.c is a unit by libmodbus, for peer_test.go:  unit tcp PORT | unit rtu PATH
// It prints "ready" (over TCP with its port) and serves until its input ends. Unit 17; coil n is
// n%2, discrete input n is n%3==0, input register n is 1000+n, holding register n is 2000+n.
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <modbus/modbus.h>

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	int tcp = strcmp(argv[1], "tcp") == 0, listener = -1;
	modbus_t *ctx = tcp ? modbus_new_tcp("127.0.0.1", 0) : modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
	modbus_mapping_t *map = modbus_mapping_new(200, 200, 200, 200);
	if (ctx == NULL || map == NULL)
		return 1;
	for (int i = 0; i < 200; i++) {
		map->tab_bits[i] = i % 2;
		map->tab_input_bits[i] = i % 3 == 0;
		map->tab_input_registers[i] = 1000 + i;
		map->tab_registers[i] = 2000 + i;
	}
	modbus_set_slave(ctx, 17);
	if (tcp) {
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		socklen_t n = sizeof a;
		listener = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(listener, (struct sockaddr *)&a, n) || listen(listener, 4) || getsockname(listener, (struct sockaddr *)&a, &n))
			return 1;
		printf("ready %d\n", ntohs(a.sin_port));
	} else {
		if (modbus_connect(ctx))
			return 1;
		printf("ready\n");
	}
	fflush(stdout);
	if (tcp && modbus_tcp_accept(ctx, &listener) < 0)
		return 1;
	for (;;) {
		struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = modbus_get_socket(ctx), .events = POLLIN}};
		uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
		if (poll(p, 2, -1) < 0 || p[0].revents)
			return 0;
		int n = modbus_receive(ctx, query);
		if (n > 0)
			modbus_reply(ctx, query, n, map);
		else if (n < 0 && tcp)
			return 0;
	}
}
