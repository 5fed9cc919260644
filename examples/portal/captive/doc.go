// Package captive is a captive portal on the loop of a manager: the page that a phone opens by
// itself when it joins the network of a device that is not set up yet.
//
// Three things bring the phone there. ListenDNS answers DNS queries for every name with the device's
// address. The pages that phones ask for, to find out whether they are on the Internet, are
// redirected to the portal. And the API of RFC 8908 tells those that ask for it, at Path: DHCP's
// option 114 (RFC 8910) has its URL.
//
// RFC 8908 §4 has clients insist on HTTPS with a certificate that they trust, which a device without
// Internet rarely has; where it has one, with dnsmasq:
//
//	dhcp-option=114,https://portal.example.org/captive-portal/api
//
// Without it, redirects do. An HTTPS page cannot be redirected, so the device listens to no port
// 443: a refused connection is what makes a phone look for a portal, a wrong certificate is not.
package captive
