# Proxmox VE's IPAM interface to Nautobot with the App nautobot-pve-ipam: each hook is a single HTTP
# request. Installed as PVE/Network/SDN/Ipams/NautobotPlugin.pm, see README.md.
package PVE::Network::SDN::Ipams::NautobotPlugin;

use strict;
use warnings;

use JSON;
use URI::Escape qw(uri_escape);

use PVE::Cluster;
use PVE::JSONSchema qw(get_standard_option);

use base('PVE::Network::SDN::Ipams::Plugin');

sub type {
    return 'nautobot';
}

sub properties {
    my ($class) = @_;

    my $properties = {
        url => {
            description => "Nautobot's API root, for example https://nautobot.example.com/api",
            type => 'string',
        },
        token => {
            description => "API token of the Nautobot user that this cluster acts as",
            type => 'string',
        },
        namespace => {
            description =>
                "Nautobot namespace for the prefixes and addresses of this PVE cluster",
            type => 'string',
            pattern => '[!-~]([ -~]*[!-~])?', # ipams.cfg has no encoding: only ASCII is safe
            maxLength => 255,
        },
        fingerprint => get_standard_option(
            'fingerprint-sha256',
            {
                description => "SHA-256 fingerprint of Nautobot's certificate, if this node"
                    . " does not trust its CA",
                optional => 1,
            },
        ),
    };

    # PVE::SectionConfig dies if a property is declared twice; all plugins share the declarations.
    # Which of ours are already declared depends on the PVE release, so check.
    my $shared = $class->private();
    my @declared = ($shared->{propertyList});
    for my $plugin (values $shared->{plugins}->%*) {
        push @declared, scalar($plugin->properties()) if $plugin ne $class;
    }
    delete $properties->@{ map { keys(($_ // {})->%*) } @declared };

    return $properties;
}

sub options {
    return {
        url => { optional => 0 },
        token => { optional => 0 },
        namespace => { optional => 0 },
        fingerprint => { optional => 1 },
    };
}

# Plugin implementation

sub add_subnet {
    my ($class, $plugin_config, $subnetid, $subnet, $noerr) = @_;

    eval { put_subnet($plugin_config, $subnet) };
    die "could not add subnet $subnet->{cidr} to Nautobot: $@" if $@ && !$noerr;
}

sub update_subnet {
    my ($class, $plugin_config, $subnetid, $subnet, $old_subnet, $noerr) = @_;

    # Nautobot gets the new state and works out the changes itself
    eval { put_subnet($plugin_config, $subnet) };
    die "could not update subnet $subnet->{cidr} in Nautobot: $@" if $@ && !$noerr;
}

sub del_subnet {
    my ($class, $plugin_config, $subnetid, $subnet, $noerr) = @_;

    eval {
        my $query = query(
            zone => $subnet->{zone},
            cluster => cluster_name(),
        );
        nautobot_api_request($plugin_config, 'DELETE', subnet_path($subnet) . $query);
    };
    die "could not delete subnet $subnet->{cidr} from Nautobot: $@" if $@ && !$noerr;
}

sub add_ip {
    my (
        $class,
        $plugin_config,
        $subnetid,
        $subnet,
        $ip,
        $hostname,
        $mac,
        $vmid,
        $is_gateway,
        $noerr,
    ) = @_;

    eval {
        my $params = {
            guest($hostname, $mac, $vmid),
            origin($subnet),
            gateway => $is_gateway ? JSON::true : JSON::false,
        };
        nautobot_api_request($plugin_config, 'PUT', ip_path($ip), $params, 'address');
    };
    die "could not add address $ip of subnet $subnet->{cidr} to Nautobot: $@" if $@ && !$noerr;
}

sub update_ip {
    my (
        $class,
        $plugin_config,
        $subnetid,
        $subnet,
        $ip,
        $hostname,
        $mac,
        $vmid,
        $is_gateway,
        $noerr,
    ) = @_;

    eval {
        my $params = { guest($hostname, $mac, $vmid), origin($subnet) };
        nautobot_api_request($plugin_config, 'PATCH', ip_path($ip), $params, 'address');
    };
    die "could not update address $ip of subnet $subnet->{cidr} in Nautobot: $@" if $@ && !$noerr;
}

sub add_next_freeip {
    my ($class, $plugin_config, $subnetid, $subnet, $hostname, $mac, $vmid, $noerr) = @_;

    return allocate($plugin_config, $subnet, undef, [$hostname, $mac, $vmid], $noerr);
}

sub add_range_next_freeip {
    my ($class, $plugin_config, $subnet, $range, $data, $noerr) = @_;

    return allocate($plugin_config, $subnet, $range, [$data->@{qw(hostname mac vmid)}], $noerr);
}

sub del_ip {
    my ($class, $plugin_config, $subnetid, $subnet, $ip, $noerr) = @_;

    return 1 if !$ip;

    eval {
        my $query = query(origin($subnet));
        nautobot_api_request($plugin_config, 'DELETE', ip_path($ip) . $query);
    };
    if (my $err = $@) {
        return if $noerr;
        die "could not delete address $ip of subnet $subnet->{cidr} from Nautobot: $err";
    }

    return 1;
}

sub get_ips_from_mac {
    my ($class, $plugin_config, $mac, $zoneid, $noerr) = @_;

    my $answer = eval {
        my $query = query(mac => $mac, zone => $zoneid, cluster => cluster_name());
        nautobot_api_request($plugin_config, 'GET', "ips/$query", undef, 'results');
    };
    if (my $err = $@) {
        return (undef, undef) if $noerr;
        die "could not look up the addresses of $mac in Nautobot: $err";
    }

    return ($answer->{ip4}, $answer->{ip6});
}

sub verify_api {
    my ($class, $plugin_config) = @_;

    my $answer = eval {
        my $query = query(cluster => cluster_name());
        nautobot_api_request($plugin_config, 'GET', $query, undef, 'ready');
    };
    my $err = $@;
    $err = "$answer->{detail}\n" if !$err && !$answer->{ready};
    die "could not use namespace '$plugin_config->{namespace}' at $plugin_config->{url}: $err"
        if $err;
    warn "$answer->{warning}\n" if $answer->{warning};
}

sub on_update_hook {
    my ($class, $plugin_config) = @_;

    $class->verify_api($plugin_config);
}

# helpers

# The cluster's name, undef on a standalone node. Nautobot uses it to tell apart clusters that share
# a namespace. It is read from corosync's configuration, which is in pmxcfs just like ipams.cfg, and
# not from pmxcfs' list of members, which is empty until corosync is up.
sub cluster_name {
    return undef if !eval { require PVE::Corosync };

    my $conf = PVE::Cluster::cfs_read_file('corosync.conf');
    my $totem = ($conf->{main} // {})->{totem} // {};
    return $totem->{cluster_name};
}

# Paths are relative to the namespace.
sub subnet_path {
    my ($subnet) = @_;

    return "subnets/" . ($subnet->{cidr} =~ s!/!-!r) . "/";
}

sub ip_path {
    my ($ip) = @_;

    return "ips/$ip/";
}

sub query {
    my (%params) = @_;

    my @pairs = map { "$_=" . uri_escape($params{$_}) } grep { defined($params{$_}) }
        sort keys %params;
    return @pairs ? '?' . join('&', @pairs) : '';
}

sub guest {
    my ($hostname, $mac, $vmid) = @_;

    return (hostname => $hostname, mac => $mac, vmid => number($vmid));
}

# PVE passes numbers as strings, Nautobot expects JSON numbers.
sub number {
    my ($text) = @_;

    return defined($text) ? int($text) : undef;
}

sub origin {
    my ($subnet) = @_;

    return (zone => $subnet->{zone}, cluster => cluster_name());
}

# PVE passes the DHCP ranges of an old subnet parsed, those of a new one as strings.
sub dhcp_ranges {
    my ($subnet) = @_;

    my $ranges = $subnet->{'dhcp-range'} // [];
    $ranges = PVE::Network::SDN::Subnets::get_dhcp_ranges($subnet) if !ref($ranges->[0]);

    return [map { { start => $_->{'start-address'}, end => $_->{'end-address'} } } @$ranges];
}

# Zone and VNet as they are being edited, like the subnet. The subnet matters more: what cannot be
# read is left out, and so is a zone type that Nautobot does not know.
sub zone_and_vnet {
    my ($subnet) = @_;

    my $zone = eval { PVE::Network::SDN::Zones::get_zone($subnet->{zone}) };
    my $vnet = eval { PVE::Network::SDN::Vnets::get_vnet($subnet->{vnet}) };

    return (
        $zone && $zone->{type} =~ m/^(?:simple|vlan|qinq|vxlan|evpn)$/
        ? (zone_type => $zone->{type})
        : (),
        $zone ? (zone_dhcp => $zone->{dhcp}) : (),
        $vnet ? (vnet_alias => alias($vnet->{alias}), vnet_tag => number($vnet->{tag})) : (),
    );
}

# vnets.cfg has no encoding: an alias is UTF-8 or Latin-1. JSON must be UTF-8, and api_request does
# not encode it. PVE allows 256 characters, Nautobot 255.
sub alias {
    my ($alias) = @_;

    return undef if !defined($alias);
    utf8::decode($alias); # leaves Latin-1 as it is
    $alias = substr($alias, 0, 255);
    utf8::encode($alias);
    return $alias;
}

sub put_subnet {
    my ($config, $subnet) = @_;

    my $params = {
        origin($subnet),
        zone_and_vnet($subnet),
        vnet => $subnet->{vnet},
        gateway => $subnet->{gateway},
        dhcp_ranges => dhcp_ranges($subnet),
        snat => $subnet->{snat} ? JSON::true : JSON::false,
        dns_zone_prefix => $subnet->{dnszoneprefix},
    };
    nautobot_api_request($config, 'PUT', subnet_path($subnet), $params, 'prefix');
}

# Returns the next free address of a DHCP range, or of a subnet without ranges. undef makes PVE go on
# to the next range or subnet, an exception ends its search: that is for the last one. Nautobot
# refuses with 409 if there is no address; the rest of the status line is no criterion, because
# proxies may change it.
sub allocate {
    my ($config, $subnet, $range, $guest, $noerr) = @_;

    my ($start, $end) = $range ? $range->@{qw(start-address end-address)} : ();

    my $ip = eval {
        my $params = { guest(@$guest), origin($subnet) };
        $params->@{qw(range_start range_end)} = ($start, $end) if $range;
        my $path = subnet_path($subnet) . 'next-free-ip/';
        my $answer = nautobot_api_request($config, 'POST', $path, $params, 'address');

        my ($ip) = ($answer->{address} // '') =~ m!^([0-9a-fA-F.:]+)/[0-9]+$!
            or die "Nautobot's response has no valid address\n";
        $ip;
    };
    if (my $err = $@) {
        return undef if $noerr;

        my $where = "subnet $subnet->{cidr}";
        $where = "$start-$end of $where" if $range;
        my $sentence = "could not get a free address in $where from Nautobot: $err";
        die $sentence if $err !~ m/^409 / || is_last($subnet, $range);
        warn $sentence;
        return undef;
    }

    return $ip;
}

# Whether PVE has nothing left to do after this range: no other range, no other subnet of the VNet,
# no address to give back. It searches a VNet's subnets in the order of their IDs, IPv4 first, and
# without an IPv6 address it releases the IPv4 address that it got.
sub is_last {
    my ($subnet, $range) = @_;

    if ($range) {
        my $last = dhcp_ranges($subnet)->[-1] or return 0;
        return 0 if $last->{end} ne $range->{'end-address'};
    }

    my $is_ipv6 = $subnet->{cidr} =~ m/:/;
    my $others = eval { PVE::Network::SDN::Vnets::get_subnets($subnet->{vnet}, 1) } // {};
    for my $id (keys %$others) {
        next if $id =~ m/:/ && !$is_ipv6;
        return 0 if $is_ipv6 && $id !~ m/:/ || $id gt $subnet->{id};
    }

    return 1;
}

# Sends every request. $path is relative to the namespace, $expected is a field that the response
# must have. Dies with "CODE MESSAGE\n" if Nautobot refuses: the message is the HTTP reason phrase,
# because PVE's api_request keeps nothing else of an error response.
sub nautobot_api_request {
    my ($config, $method, $path, $params, $expected) = @_;

    my $base = $config->{url} =~ s!/+$!!r;
    my $namespace = uri_escape($config->{namespace});

    # PVE compares it with the upper-case one of the certificate, character by character
    my $fingerprint = defined($config->{fingerprint}) ? uc($config->{fingerprint}) : undef;

    my $answer = eval {
        PVE::Network::SDN::api_request(
            $method,
            "$base/plugins/pve-ipam/namespaces/$namespace/$path",
            [
                'Content-Type' => 'application/json; charset=UTF-8',
                'Accept' => 'application/json',
                'Authorization' => "Token $config->{token}",
            ],
            $params,
            $fingerprint,
        );
    };
    if (my $err = $@) {
        die "the response is not JSON: it is incomplete, or $base is not Nautobot's API root\n"
            if $err =~ m/response is not a json/;
        die $err =~ s/^Invalid response from server: //r;
    }
    die "the response is empty or not from Nautobot: it has no '$expected'\n"
        if $expected && !(ref($answer) eq 'HASH' && exists($answer->{$expected}));

    return $answer;
}

1;
