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

    my $ip = eval {
        my $params = { guest($hostname, $mac, $vmid), origin($subnet) };
        allocate($plugin_config, $subnet, $params);
    };
    die "could not get a free address in subnet $subnet->{cidr} from Nautobot: $@"
        if $@ && !$noerr;

    return $ip;
}

sub add_range_next_freeip {
    my ($class, $plugin_config, $subnet, $range, $data, $noerr) = @_;

    my ($start, $end) = $range->@{qw(start-address end-address)};

    my $ip = eval {
        my $params = {
            guest($data->@{qw(hostname mac vmid)}),
            origin($subnet),
            range_start => $start,
            range_end => $end,
        };
        allocate($plugin_config, $subnet, $params);
    };
    if (my $err = $@) {

        # undef makes PVE try the subnet's next range; an exception would end the search
        return undef if $noerr || $err =~ m/^409 No free address/;
        die "could not get a free address in $start-$end of subnet $subnet->{cidr}"
            . " from Nautobot: $err";
    }

    return $ip;
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

    my $answer = eval { nautobot_api_request($plugin_config, 'GET', '', undef, 'ready') };
    my $err = $@;
    $err = "$answer->{detail}\n" if !$err && !$answer->{ready};
    die "could not use namespace '$plugin_config->{namespace}' at $plugin_config->{url}: $err"
        if $err;
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

    # PVE passes the vmid as a string, Nautobot expects a number
    return (hostname => $hostname, mac => $mac, vmid => defined($vmid) ? int($vmid) : undef);
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

sub put_subnet {
    my ($config, $subnet) = @_;

    my $params = {
        origin($subnet),
        vnet => $subnet->{vnet},
        gateway => $subnet->{gateway},
        dhcp_ranges => dhcp_ranges($subnet),
        snat => $subnet->{snat} ? JSON::true : JSON::false,
        dns_zone_prefix => $subnet->{dnszoneprefix},
    };
    nautobot_api_request($config, 'PUT', subnet_path($subnet), $params, 'prefix');
}

sub allocate {
    my ($config, $subnet, $params) = @_;

    my $path = subnet_path($subnet) . 'next-free-ip/';
    my $answer = nautobot_api_request($config, 'POST', $path, $params, 'address');

    my ($ip) = ($answer->{address} // '') =~ m!^([0-9a-fA-F.:]+)/[0-9]+$!
        or die "Nautobot's response has no valid address\n";
    return $ip;
}

# Sends every request. $path is relative to the namespace, $expected is a field that the response
# must have. Dies with "CODE MESSAGE\n" if Nautobot refuses: the message is the HTTP reason phrase,
# because PVE's api_request keeps nothing else of an error response.
sub nautobot_api_request {
    my ($config, $method, $path, $params, $expected) = @_;

    my $base = $config->{url} =~ s!/+$!!r;
    my $namespace = uri_escape($config->{namespace});

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
            $config->{fingerprint},
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
